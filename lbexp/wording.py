"""Words of messages."""


def with_article(noun: str) -> str:
    """'a probe', 'an optimizer'. By its first letter, which no kind of part or type belies."""
    article = 'an' if noun[:1].lower() in 'aeiou' else 'a'
    return f'{article} {noun}'
