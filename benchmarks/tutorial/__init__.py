"""The commands `fit` and `gallery`: one descent shown as a tutorial shows it, and the plots."""
