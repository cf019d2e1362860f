"""What stands for a signature on calls that no Gemini model made, or whose signature is lost.

Gemini 3 refuses calls of the turn under way without one. For histories from other models Google documents two
strings that its check passes over (ai.google.dev/gemini-api/docs/thought-signatures, FAQ). Clients of Google's write
them too: Gemini CLI on all calls of a conversation that it resumes.
"""

from __future__ import annotations

from typing import Final

PLACEHOLDER: Final = "skip_thought_signature_validator"
PLACEHOLDERS: Final = frozenset({PLACEHOLDER, "context_engineering_is_the_way_to_go"})
