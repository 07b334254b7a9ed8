"""Text that becomes something else where a page forgets to escape it: a script, a picture, an end, a sum, a turn."""

PAYLOAD = (
    "</textarea></title><script>alert(1)</script><img src=//192.0.2.1/x onerror=alert(2)>"
    "{{7*7}}${7*7}'\"`javascript:alert(3)\u202etxet\u2066&lt;b&gt;"
)
