"""Where pedestrians can walk: the navigation mesh that the client's own crowd simulation runs on."""
