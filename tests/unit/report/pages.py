"""What a page says, read back."""

import html
import re

import markupsafe


def cells(page: str, title: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    section = page.partition(f">{markupsafe.escape(title)}</h2>")[2].partition("<h2")[0]
    table = section[: section.index("</table>")]
    rows = re.findall(r"<tr>(.*?)</tr>", table)[1:]
    return [[html.unescape(c) for c in re.findall(r"<t[dh][^>]*>(.*?)</t", row)] for row in rows]
