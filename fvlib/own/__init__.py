"""Your own videos: from a folder of clips to a model and a decision."""
