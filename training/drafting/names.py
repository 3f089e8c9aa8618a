"""The words that columns' names are made of, and what they tell of a column."""

import re

TEXT = (
    "text", "tweet", "caption", "captions", "title", "name", "headline", "sentence", "description", "comment",
    "review", "message", "body", "content", "summary", "post", "question", "transcript", "prompt",
)  # fmt: skip
"""Best first: the first text column is what evaluation shows the model."""

SAID = frozenset({
    "transcript", "transcripts", "transcription", "sentence", "utterance", "text", "said", "spoken", "words",
    "phrase",
})  # fmt: skip
"""What is said in a recording, beside one."""

SPEAKER = frozenset({"speaker", "voice", "client", "reader", "talker"})

LANGUAGES = frozenset({
    "ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "it", "ja", "ko", "nl",
    "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh",
})  # fmt: skip
LABEL = frozenset({
    "label", "labels", "class", "category", "sentiment", "emotion", "topic", "type", "genre", "stars", "grade",
    "rating", "target",
})  # fmt: skip
TARGET = frozenset({
    "steering", "target", "targets", "angle", "price", "score", "rating", "y", "label", "value", "age", "weight",
    "height", "throttle", "brake", "gas", "steer",
})  # fmt: skip
SENSOR = frozenset({
    "speed", "velocity", "temperature", "temp", "humidity", "pressure", "lat", "lon", "latitude", "longitude",
    "altitude", "count", "num", "number", "likes", "retweets", "shares", "views", "followers", "friends", "gyro",
    "accel", "acceleration", "voltage", "current", "rpm",
})  # fmt: skip
PHYSICAL = frozenset({
    "speed", "velocity", "temperature", "temp", "humidity", "pressure", "altitude", "gyro", "gyroscope", "accel",
    "acceleration", "accelerometer", "voltage", "current", "rpm", "yaw", "pitch", "roll", "torque", "sensor",
    "sensors", "reading", "readings", "wheel", "odometry", "imu",
})  # fmt: skip
"""What an instrument measures, beside a picture or a text."""

PERSON = frozenset({
    "user", "username", "author", "speaker", "patient", "subject", "person", "customer", "buyer", "seller",
    "reviewer", "owner", "employee", "student",
})  # fmt: skip
GROUP = PERSON | {
    "session", "sequence", "seq", "video", "clip", "drive", "run", "ride", "trip", "episode", "recording",
    "track", "scene", "shot", "product", "item", "listing", "conversation", "thread", "document", "doc", "album",
    "series",
}  # fmt: skip
"""Rows that share one of these are alike: frames of one drive, posts of one author."""

PRIVATE = PERSON | {"email", "mail", "phone", "address", "ip", "lat", "lon", "latitude", "longitude", "birthday"}
KEY = frozenset({"id", "ids", "no", "num", "number", "key", "uuid", "guid", "index", "handle", "hash"})
TIME = frozenset({"date", "time", "timestamp", "created", "updated", "year", "month", "day"})
IMAGE = frozenset({"image", "img", "photo", "picture", "media"})
SPLIT = frozenset({"split", "subset", "fold", "partition"})
SIDED = frozenset({"steering", "angle", "yaw", "x", "left", "right", "direction", "heading", "turn"})
"""Numbers that change when a picture is mirrored."""

LEFT_OR_RIGHT = frozenset({
    "left", "right", "links", "rechts", "gauche", "droite", "izquierda", "derecha", "sinistra", "destra",
    "左", "右",
})  # fmt: skip


def tokens(name: str) -> list[str]:
    """The words of a name: articleType, article_type and "Article type" are the same two."""
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+", name)]


def has_language(name: str) -> bool:
    """It ends in the code of a language, as label_fr does."""
    words = tokens(name)
    return len(words) > 1 and words[-1] in LANGUAGES


def is_key(name: str) -> bool:
    """It may hold a row's identity: id, tweet_id, tweetid, hexcode."""
    words = tokens(name)
    return bool(words) and (words[-1] in KEY or words[-1].endswith(("id", "code")))


def is_group(name: str) -> bool:
    """It tells rows apart that are alike: drive, user_id, "user name", videoid."""
    words = tokens(name)
    while len(words) > 1 and (words[-1] in KEY or (words[-1] == "name" and words[-2] in PERSON)):
        words.pop()
    return bool(words) and (words[-1] in GROUP or words[-1].removesuffix("id") in GROUP)
