"""Completion in the shell: verbs, groups, choices, keys and words of keys."""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from ambient_policy.errors import SettingsError, unknown
from ambient_policy.workflows import VERBS
from ambient_policy.workflows.configs import add_own, choices, chosen, groups
from ambient_policy.workflows.help import OPTIONS
from ambient_policy.workflows.schema import keys

# Bash takes = for the end of a word: what stands before it is not to be repeated.
BASH = """\
_ambient_policy() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }"
    COMPREPLY=($(ambient-policy completion words "$line" 2>/dev/null))
    case "$word" in *=*) COMPREPLY=("${COMPREPLY[@]#"${word%%=*}="}");; esac
}
complete -o nospace -o default -F _ambient_policy ambient-policy
"""
# Zsh completes by compinit, which a plain .zshrc does not call; files are those after the =.
ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i -D }
_ambient_policy() {
    local -a items
    items=("${(@f)$(ambient-policy completion words "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    [[ -n "$items" ]] && compadd -Q -S '' -a items && return
    compset -P '*='
    _files
}
compdef _ambient_policy ambient-policy
"""
FISH = """\
function __ambient_policy
    set -l items (ambient-policy completion words (commandline -cp | string collect) 2>/dev/null)
    if test -n "$items[1]"
        printf '%s\\n' (string trim -- $items)
        return
    end
    set -l typed (string match -r '^(.*=)?(.*)$' -- (commandline -ct))
    for path in (__fish_complete_path "$typed[3]")
        echo "$typed[2]$path"
    end
end
complete -c ambient-policy -f -a '(__ambient_policy)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(words: Sequence[str]) -> None:
    """Print what makes bash, zsh or fish complete this command.

    Bash, once for all:  ambient-policy completion bash >> ~/.bashrc

    Zsh:  ambient-policy completion zsh >> ~/.zshrc

    Fish:  ambient-policy completion fish > ~/.config/fish/completions/ambient-policy.fish
    """
    if not words:
        raise SettingsError(
            f"ambient-policy completion: name your shell, {', '.join(SCRIPTS)}. For bash, once for "
            "all: ambient-policy completion bash >> ~/.bashrc; for others ambient-policy "
            "completion --help."
        )
    shell, *line = words
    if shell == "words":  # what the scripts ask: how may this line go on?
        print("\n".join(candidates(" ".join(line))))
        return
    if shell not in SCRIPTS:
        raise unknown("shell", shell, SCRIPTS)
    print(SCRIPTS[shell], end="")


def candidates(line: str) -> list[str]:
    """The words that the last word of a line may become; a space ends those that are whole."""
    try:
        typed = shlex.split(line)[1:]
    except ValueError:  # a quote is open
        return []
    word = typed.pop() if typed and not line.endswith(" ") else ""
    if "--config-dir" in typed[:-1]:
        try:
            add_own(typed.pop(typed.index("--config-dir") + 1))
        except SettingsError:
            return []
    verbs = [item for item in typed if not item.startswith("-")]
    if word.startswith("-"):
        items: Iterable[str] = (
            f"{part} " for name in OPTIONS for part in name.removesuffix(" DIR").split(", ")
        )
    elif not verbs:
        items = (f"{verb} " for verb in VERBS)
    else:
        items = _words_of(verbs[0], word) if verbs[0] in VERBS else ()
    return [item for item in dict.fromkeys(items) if item.startswith(word)]


def _words_of(verb: str, word: str) -> Iterator[str]:
    """What may follow a verb."""
    if verb == "configs":
        yield from (f"{group} " for group in groups())
    elif verb == "completion":
        yield from (f"{shell} " for shell in SCRIPTS)
    elif entries := keys(verb):
        name, equals, _ = word.partition("=")
        if equals and name in chosen(verb):
            yield from (f"{name}={choice} " for choice in choices(name))
        elif equals:
            yield from _values(name, {key.name: key.words for key in entries})
        else:
            yield from (f"{group}=" for group in chosen(verb))
            yield from _next_part([key.name for key in entries if key.kind or key.default], word)


def _values(name: str, words: dict[str, dict[str, str]]) -> Iterator[str]:
    yield from (f"{name}={value} " for value in words.get(name, ()))


def _next_part(names: Sequence[str], word: str) -> Iterator[str]:
    """Keys up to the next dot: ``training.`` and, once that stands there, ``training.steps=``."""
    depth = word.count(".")
    for name in names:
        parts = name.split(".")
        if "<name>" not in name and "[]" not in name and len(parts) > depth:
            more = len(parts) > depth + 1
            yield ".".join(parts[: depth + 1]) + ("." if more else "=")
