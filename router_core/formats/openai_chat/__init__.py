"""OpenAI Chat Completions: ``POST /chat/completions``, and the dialects of compatible hosts."""
