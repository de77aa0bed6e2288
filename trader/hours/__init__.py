"""When markets are open, and from when to when a bar lasts."""
