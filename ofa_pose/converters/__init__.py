"""What turns modules into the files of runtimes, to measure them as well as to deploy them."""
