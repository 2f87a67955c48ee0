"""The kinds of restriction that a licence can hold, under public ids: BOMs, policies and tests quote them."""

from types import MappingProxyType

RESTRICTIONS = MappingProxyType({
    "acceptable-use-policy": "Some uses are forbidden, by the licence or by a policy that is part of it.",
    "attribution": "Notices of authorship, or a notice in given words, go with every copy.",
    "gated": "The publisher hands the files only to those who ask for them or agree to terms.",
    "geographic-exclusion": "Persons or companies of some region get no rights; the value is the region.",
    "guardrail-termination": "Who removes or weakens safety measures of the model loses the licence.",
    "military": "Military use is forbidden.",
    "naming": "A product or a derived model must show a name, or begin its own with it; the value is that name.",
    "no-derivatives": "Changed versions may not be passed on.",
    "non-commercial": "Only use that is not commercial is allowed; the scope says what that means.",
    "output-training-ban": "The model or its outputs may not be used to improve other models.",
    "pass-through": "Who passes the model or a derivative on must bind the recipients to some of the terms.",
    "patent-termination": "Who sues over patents, or over the rights that the scope names, loses the licence.",
    "revenue-cap": "Above a revenue, the value, the rights end or further terms apply, as the scope says.",
    "user-cap": "Above a number of users, the value, the rights end or further terms apply, as the scope says.",
})  # fmt: skip

# What a derivative cannot shed by declaring other terms. Notices are kept by whoever copies the files, a patent clause
# is between the parties to a lawsuit, and gates are the publisher's own; relicensing among permissive terms changes
# those all the time, and nobody is worse off.
BINDING = frozenset(RESTRICTIONS) - {"attribution", "gated", "patent-termination"}
