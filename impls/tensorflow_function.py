"""TensorFlow: one step with a GradientTape as a `tf.function`, called from a Python loop."""

import tensorflow as tf

from impls._tensorflow import fetch, mse, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr
    rows = [None] * problem.steps if problem.order is None else tf.unstack(place(problem.order, device))
    w = tf.Variable(place(problem.w0, device))

    @tf.function
    def step(rows: tf.Tensor | None) -> None:
        with tf.GradientTape() as tape:
            loss = mse(w, X, y, rows)
        w.assign_sub(lr * tape.gradient(loss, w))

    def run(start: Array, steps: int, /) -> Array:
        w.assign(start)
        for t in range(steps):
            step(rows[t])
        return fetch(w)

    return run
