"""Write the list of hostile inputs (English and French) from the tables of tests/hostile.

`python tools/generate_hostile_inputs.py` writes it; `--check` writes nothing and fails if it is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.hostile.catalogue import TABLES, count  # noqa: E402 - the root is no package of ours
from tests.hostile.lessons import LESSONS  # noqa: E402

NOTICE = "<!-- Written by tools/generate_hostile_inputs.py; change tests/hostile, then run `make generate`. -->\n"

ENGLISH = """# Hostile inputs

What `tests/hostile` sends to a hub over real sockets: {count} inputs with a name, and every malformed vector of
`spec/vectors` besides. For each the test asserts the answer, that the process does not grow by more than 16 MiB, that
the hub's event loop saw no exception that nobody caught, and that a healthy client beside it gets everything that is
published meanwhile, once and in order, and is answered at once.

Answers of three digits up to 199 are [errors](errors.md) of the hub, others HTTP statuses; of four digits, close codes.

## Lessons of others

Each published failure of another realtime server has its input here, and a neighbour of it: first fixes were often
incomplete.

| lesson | published, for example | inputs and tests |
| --- | --- | --- |
"""

FRENCH = """# Entrées hostiles

Ce que `tests/hostile` envoie à un hub par de vraies sockets : {count} entrées nommées, sans compter les vecteurs mal
formés de `spec/vectors`. Pour chacune, le test vérifie la réponse, que le processus ne grandit pas de plus de 16 Mio,
que la boucle du hub n'a vu aucune exception non rattrapée, et qu'un client sain, à côté, reçoit tout ce qui est publié
pendant ce temps, une fois et dans l'ordre, et obtient sa réponse aussitôt. Les noms sont ceux des tests, en anglais.

Les réponses de trois chiffres jusqu'à 199 sont des [erreurs](../../reference/errors.md) du hub, les autres des statuts
HTTP ; à quatre chiffres, ce sont des codes de fermeture.

## Leçons des autres

Chaque défaillance publiée d'un autre serveur temps réel a ici son entrée, et une voisine : les premières corrections
furent souvent incomplètes.

| leçon | publiée, par exemple | entrées et tests |
| --- | --- | --- |
"""


def page(language: int) -> str:
    """Return the page; language 0 is English, 1 French."""
    lines = [NOTICE, (ENGLISH, FRENCH)[language].format(count=count())]
    for lesson in LESSONS:
        proofs = [*lesson.inputs, *(f"`{test.partition('::')[2]}`" for test in lesson.tests)]
        lines.append(f"| {lesson.text[language]} | {lesson.cases} | {'; '.join(map(_escaped, proofs))} |\n")
    heads = ("| what comes | answer |\n", "| ce qui arrive | réponse |\n")
    for table in TABLES:
        lines.append(f"\n## {table.title[language]}\n\n{heads[language]}| --- | --- |\n")
        lines += [f"| {_escaped(name)} | {answer} |\n" for name, answer in table.answers.items()]
    return "".join(lines)


def _escaped(text: str) -> str:
    for character in "|<*{":
        text = text.replace(character, "\\" + character)
    return text


def main() -> int:
    """Write the pages, or say which one is not current."""
    stale = []
    for language, path in enumerate(("docs/reference/hostile-inputs.md", "docs/fr/reference/hostile-inputs.md")):
        file, text = ROOT / path, page(language)
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if "--check" not in sys.argv:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    if stale and "--check" in sys.argv:
        print(f"{', '.join(stale)}: not current, run make generate", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
