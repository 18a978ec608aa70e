"""The parts of the contract test: a made-up session, running a node in it, comparing what came out."""
