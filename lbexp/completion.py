"""Completion of `python -m lbexp...` in a shell, as a script for it."""

from collections.abc import Mapping, Sequence

from lbexp.errors import Refusal

_SCRIPT = """{first}# Completes python -m lbexp.COMMAND. In ~/.{shell}rc:
#     eval "$(python -m lbexp.list --completion={shell})"
_lbexp() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    if [[ ${{COMP_WORDS[1]}} == -m && ${{COMP_WORDS[2]}} == lbexp.* && $COMP_CWORD -gt 2 ]]; then
        case "${{COMP_WORDS[2]}} ${{COMP_WORDS[COMP_CWORD-2]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
            *' --config =') words='{experiments}' ;;
            *' --config') words='{experiments}' word= ;;
{kinds}
            'lbexp.list '*) words='{all_kinds}' ;;
            *) words='{flags}' ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    # a flag's value follows without a blank
    [[ ${{#COMPREPLY[@]}} == 1 && $COMPREPLY == *= ]] && compopt -o nospace
}}
complete -o bashdefault -o default -F _lbexp python python3"""
_KIND = "            'lbexp.list '*' {kind}') words='{names}' ;;"
# zsh has bash's completion.
_FIRST = {'bash': '', 'zsh': 'autoload -U +X compinit bashcompinit && compinit && bashcompinit\n'}


def script(shell: str, flags: Sequence[str], names: Mapping[str, Sequence[str]]) -> str:
    """The script.

    Args:
        shell: 'bash' or 'zsh'.
        flags: of the commands that train, with '=' where a value follows.
        names: of each kind that lbexp.list knows, among them 'experiments'.

    Raises:
        Refusal: another shell.
    """
    if shell not in _FIRST:
        raise Refusal(f'--completion: found {shell!r}; allowed: bash, zsh')
    kinds = [_KIND.format(kind=kind, names=' '.join(known)) for kind, known in names.items()]
    return _SCRIPT.format(
        first=_FIRST[shell],
        shell=shell,
        experiments=' '.join(names['experiments']),
        kinds='\n'.join(kinds),
        all_kinds=' '.join(names),
        flags=' '.join(flags),
    )
