"""From files to chunks of users: every row is either used or listed with its line and the reason."""
