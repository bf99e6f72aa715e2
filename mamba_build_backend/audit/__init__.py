"""Read and judge a finished wheel."""
