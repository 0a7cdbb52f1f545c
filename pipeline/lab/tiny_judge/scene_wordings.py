"""How questions, answers, prompts and instructions are worded."""

from __future__ import annotations

from typing import Final

QUESTIONS: Final[dict[str, tuple[str, ...]]] = {
    "colour": (
        "What colour is the {shape}?",
        "Which colour does the {shape} have?",
        "Tell me the colour of the {shape}.",
    ),
    "shape": (
        "What shape is the {colour} object?",
        "Which shape does the {colour} object have?",
        "Name the shape of the {colour} object.",
    ),
    "count": (
        "How many objects are there?",
        "How many objects are in the picture?",
        "Count the objects.",
    ),
    "relation": (
        "Is the {a} to the left or to the right of the {b}?",
        "On which side of the {b} is the {a}, left or right?",
        "Where is the {a}, seen from the {b}: left or right?",
    ),
    "description": (
        "Describe the {side} object: colour and shape.",
        "What are the colour and the shape of the {side} object?",
        "Which object is the {side} one? Give its colour and shape.",
    ),
    "direction": (
        "Which way does the {name} move?",
        "In which direction does the {name} go?",
        "Where does the {name} move: left, right, up or down?",
    ),
    "mover": (
        "Which object moves? Give its colour and shape.",
        "What moves in the video?",
        "Name the object that moves: colour and shape.",
    ),
    "list": (
        "Which list is longer? The first list: {first}. The second list: {second}.",
        "The first list: {first}. The second list: {second}. Which of them is longer?",
        "Name the longer list. The first list: {first}. The second list: {second}.",
    ),
}
"""By kind; the names in braces are those of the question."""

ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "colour": (
        "It is {x}.",
        "The {shape} is {x}.",
        "The colour is {x}.",
        "I would say {x}.",
        "{X}.",
    ),
    "shape": (
        "It is a {x}.",
        "The {colour} object is a {x}.",
        "That is a {x}.",
        "I can see a {x}.",
        "A {x}.",
    ),
    "count": (
        "I count {x}.",
        "The number of objects is {x}.",
        "I can see {x} in the picture.",
        "The count is {x}.",
        "{X}.",
    ),
    "relation": (
        "It is on the {x}.",
        "The {a} is to the {x} of the {b}.",
        "To the {x}.",
        "On the {x} side.",
        "{X}.",
    ),
    "description": (
        "It is a {x}.",
        "The {side} object is a {x}.",
        "That is a {x}.",
        "I can see a {x} there.",
        "A {x}.",
    ),
    "direction": (
        "It moves {x}.",
        "The {name} goes {x}.",
        "The direction is {x}.",
        "I would say {x}.",
        "{X}.",
    ),
    "mover": (
        "It is the {x}.",
        "The {x} moves.",
        "That is the {x}.",
        "I can see the {x} move.",
        "The {x}.",
    ),
    "list": (
        "It is the {x} one.",
        "The {x} list is longer.",
        "That is the {x} list.",
        "I would say the {x}.",
        "{X}.",
    ),
}
"""By kind: ``{x}`` is the answer, ``{X}`` starts a sentence."""

ORDINALS: Final = ("first", "second", "third")
"""Names of the pictures of a question about one of several."""

OF_ONE_PICTURE: Final = (
    "In the {ordinal} picture: {question}",
    "Look at the {ordinal} picture. {question}",
)
IN_WORDS: Final = (
    "A picture shows {seen}. {question}",
    "There is {seen}. {question}",
    "{question} The picture shows {seen}.",
)
BRIEFLY: Final = ("Answer in one sentence.", "You answer questions about pictures.")

PROMPTS: Final[dict[str, tuple[str, ...]]] = {
    "object": ("A {a}.", "Draw a {a}.", "A picture of a {a}."),
    "two": ("A {a} and a {b}.", "Draw a {a} and a {b}.", "A picture of a {a} and a {b}."),
    "place": ("A {a} at {place}.", "Draw a {a} at {place}.", "A picture of a {a} at {place}."),
    "motion": ("A {a} moves {way}.", "The {a} moves {way}.", "A video of a {a} that moves {way}."),
}
"""Prompts for pictures and clips, by kind."""

INSTRUCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "recolour": ("Make the {a} {colour}.", "Change the colour of the {a} to {colour}."),
    "reshape": ("Turn the {a} into a {shape}.", "Change the {a} to a {shape}."),
    "remove": ("Remove the {a}.", "Take the {a} away."),
}
"""Instructions for edits, by kind."""
