"""OpenAI Responses: ``POST /responses``."""
