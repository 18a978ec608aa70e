"""A network that guesses a photo's latent at a look, learned from the model's own pictures."""
