"""Several processes on the same sockets: workers that serve, and a supervisor that starts them and speaks for them."""
