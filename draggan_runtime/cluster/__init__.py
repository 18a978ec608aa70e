"""Many edit sessions on a Ray cluster: engines step them, session actors keep them, the manager places them."""
