"""A key-value store with room for a hundred short texts.

denali-py spawn examples/store.py --count 10
curl -X PUT --data hello http://127.1.0.3:8080/greeting
curl http://127.1.0.3:8080/greeting
curl -X DELETE http://127.1.0.3:8080/greeting
"""

import numpy as np

from denali.libos.net import http

ENTRY = np.dtype([("key_length", "i8"), ("length", "i8"), ("key", "u1", 24), ("value", "u1", 88)])

entries = np.zeros(100, ENTRY)


def find() -> int:
    """The entry whose key is the path's tail; the first free one where there is none, -1 where none is free."""
    key, free = http.tail(), -1
    for i in range(len(entries)):
        if entries[i]["key_length"] == len(key) and matches(i, key):
            return i
        if free < 0 and entries[i]["key_length"] == 0:
            free = i
    return free


def matches(i, key) -> bool:
    """Whether an entry has this key."""
    same = True
    for j in range(len(key)):
        same &= entries[i]["key"][j] == key[j]
    return same


def keep(i: int) -> None:
    """Write the request's body into an entry."""
    key, value = http.tail(), http.content()
    if i < 0 or len(key) > 24 or len(value) > 88:
        http.status(413)
        return
    entries[i]["key"][: len(key)] = key
    entries[i]["value"][: len(value)] = value
    entries[i]["key_length"], entries[i]["length"] = len(key), len(value)
    http.text(b"kept\n")


def known(i: int) -> bool:
    """Whether an entry holds something; else the answer is 404."""
    if i < 0 or entries[i]["key_length"] == 0:
        http.status(404)
        return False
    return True


def answer() -> None:
    """Look up, keep or drop the value of a key."""
    if http.get(b"/"):
        http.text(b"PUT, GET or DELETE a key: /greeting\n")
    elif http.put(b"/*"):
        keep(find())
    elif http.get(b"/*"):
        i = find()
        if known(i):
            http.text(entries[i]["value"][: entries[i]["length"]])
    elif http.delete(b"/*"):
        i = find()
        if known(i):
            entries[i]["key_length"] = 0
            http.text(b"dropped\n")


def main() -> None:
    """Answer requests for ever."""
    http.serve(80, answer)
