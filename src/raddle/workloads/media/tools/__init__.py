"""The programs that write media files: finding them, telling them what to do, and running them."""
