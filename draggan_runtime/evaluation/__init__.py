"""Measuring edits as the paper does, with judges that know nothing of the tracker (DragGAN, section 4.2)."""
