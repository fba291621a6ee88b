"""Keras: a `Dense` layer, `SGD` and `train_on_batch`, the way most TensorFlow programs are written."""

import tensorflow as tf

from impls._tensorflow import fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y = place(problem.X, device), place(problem.y.reshape(len(problem.y), -1), device)  # (n, k)
    order = None if problem.order is None else place(problem.order, device)
    tf.keras.config.set_dtype_policy(problem.X.dtype.name)  # of the layer
    tf.keras.config.set_floatx(problem.X.dtype.name)  # of the loss and the learning rate
    model = tf.keras.Sequential([tf.keras.Input(X.shape[1:]), tf.keras.layers.Dense(y.shape[1], use_bias=False)])
    model.compile(tf.keras.optimizers.SGD(problem.lr), "mse")

    def run(start: Array, steps: int, /) -> Array:
        model.set_weights([start.reshape(X.shape[1], -1)])
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (tf.gather(X, order[t]), tf.gather(y, order[t]))
            model.train_on_batch(X_t, y_t)
        return fetch(model.weights[0]).reshape(start.shape)

    return run
