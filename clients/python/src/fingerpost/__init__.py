"""The client of Fingerpost: the official OpenAI SDK, with what the router adds.

>>> client = Fingerpost()
>>> completion = client.chat_completion("What is the derivative of x^2?")
>>> routing(completion).selected_model
'math-expert'
"""

from ._client import AsyncFingerpost, Fingerpost
from ._conversation import AsyncConversation, Conversation
from ._errors import RateLimited, SecurityViolation, Unavailable
from ._health import Health
from ._routing import Routing, routing

__all__ = [
    "AsyncConversation",
    "AsyncFingerpost",
    "Conversation",
    "Fingerpost",
    "Health",
    "RateLimited",
    "Routing",
    "SecurityViolation",
    "Unavailable",
    "routing",
]
