"""Pages of words, made small: runs of equal words as a count and the word. Enough for pages that are mostly regular."""


def squeeze(page, target) -> int:
    """Write the page to `target` in pairs; how many words that took, or 0 when there is no room."""
    size, i = 0, 0
    while i < len(page):
        first, count = page[i], 1
        while i + count < len(page) and page[i + count] == first:
            count += 1
        if size + 2 > len(target):
            return 0
        target[size], target[size + 1] = count, first
        size, i = size + 2, i + count
    return size


def expand(source, size: int, page) -> None:
    """Write the page that `size` words stand for."""
    at = 0
    for i in range(0, size, 2):
        for _ in range(source[i]):
            page[at] = source[i + 1]
            at += 1
