"""Ollama: ``POST /api/chat``, only as a client's format."""
