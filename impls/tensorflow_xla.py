"""TensorFlow with XLA: the whole descent in one `tf.function(jit_compile=True)`."""

import tensorflow as tf

from impls._tensorflow import fetch, mse, place
from impls.interface import Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr
    order = None if problem.order is None else place(problem.order, device)

    @tf.function(jit_compile=True)
    def descend(w: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        t = tf.constant(0)
        while t < steps:  # not `for t in tf.range(steps)`: XLA would compile that anew for each number of steps
            with tf.GradientTape() as tape:
                tape.watch(w)
                loss = mse(w, X, y, None if order is None else order[t])
            w = w - lr * tape.gradient(loss, w)
            t += 1
        return w

    return lambda start, steps, /: fetch(descend(place(start, device), tf.constant(steps)))
