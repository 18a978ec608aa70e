"""Where a graph runs: containers host nodes, routers carry messages between them, the drag action drives the loop."""
