"""A learned map from displacements of points to an offset of w: an edit in one shot, to compare drags with.

In the manner of UserControllableLT (Endo 2022, "User-Controllable Latent Transformer for StyleGAN Image Layout
Editing", section 3): it learns from the model's own pictures, between which optical flow says where points have gone.
"""
