"""Two versions of a stage: its script and every definition that it uses, from one to the next."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import product
from pathlib import Path

from tools.equivalents.code import Code, Definition, Module
from tools.equivalents.effects import changed_data, changed_effects
from tools.equivalents.names import Names, is_dead, names_of, wrong_keywords, wrong_renames
from tools.equivalents.outcome import NEW, OLD, Found, Frame, Outcome
from tools.equivalents.scopes import Scope
from tools.equivalents.walk import Walk

Pair = tuple[Definition, Definition]
SAME_OBJECT = {"logging.getLogger", "re.compile", "frozenset", "Path"}  # called twice, they give what is equal


class Comparison:
    """Of all stages of an old and a new code; what was compared for one stage is not compared again for the next."""

    def __init__(self, old: Code, new: Code):
        self.codes = old, new
        self._outcomes: dict[Pair, Outcome] = {}

    def changes(self, stage: str, old_files: Iterable[Path], new_files: Iterable[Path]) -> list[Found]:
        """What differs by more than moves, renames and imports. The files are those that count for the stage."""
        files = set(old_files), set(new_files)
        run = StagePair(self, stage, files)
        changes = [*changed_effects(run, *files), *changed_data(*files)]
        run.follow()
        changes += run.changes()
        if changes:
            _pair_the_rest(run, *(reached(code, stage) for code in self.codes))
            changes += [found for found in run.changes() if found not in changes]
        return sorted(set(changes), key=lambda found: (found.new, found.old))

    def outcome(self, pair: Pair, frame: Frame) -> Outcome:
        """Of comparing two definitions; `frame` has the names of the scripts, for those that stand in one."""
        if pair not in self._outcomes:
            modules = tuple(definition.module for definition in pair)
            if any(module.is_script for module in modules):
                scopes = tuple(module.scope if module.is_script else Scope() for module in modules)
                frame = Frame(scopes, frame.there, frame.back)
            else:
                frame = Frame((Scope(), Scope()))
            walk = Walk(self.codes, modules, frame, pair[NEW].name)
            self._outcomes[pair] = walk.whole(pair[OLD].statements, pair[NEW].statements)
        return self._outcomes[pair]

    @cached_property
    def names(self) -> tuple[Names, Names]:
        return tuple(map(names_of, self.codes))


class StagePair:
    """Which old definition is which new one, from a stage's scripts on. Pairs of which neither is in the `files` that
    count, old and new, are not looked into."""

    def __init__(self, comparison: Comparison, stage: str, files: tuple[set[Path], set[Path]]):
        self.comparison, self.files = comparison, files
        self.scripts = tuple(code.script(stage) for code in comparison.codes)
        self.frame = Frame(tuple(script.scope for script in self.scripts))
        self.pairs: set[Pair] = set()
        self.outcomes: list[Outcome] = []
        self.queue: list[Pair] = []
        self.walk(self.scripts, *(script.sequence for script in self.scripts))

    def walk(self, modules: tuple[Module, Module], old: list[ast.stmt], new: list[ast.stmt]) -> None:
        """Compare statements that are no definition."""
        frame = self.frame if modules == self.scripts else Frame((Scope(), Scope()))
        walk = Walk(self.comparison.codes, modules, frame, modules[NEW].name)
        self._take(walk.whole(old, new))

    def follow(self) -> None:
        """Compare all that waits, and what it uses in turn."""
        while self.queue:
            pair = self.queue.pop()
            is_version = all(definition.name == "__version__" for definition in pair)
            if pair not in self.pairs:
                self.pairs.add(pair)
                if self.counts(pair) and not is_version:
                    self._take(self.comparison.outcome(pair, self.frame))

    def counts(self, pair: Pair) -> bool:
        return any(definition.module.path in files for definition, files in zip(pair, self.files, strict=True))

    def _take(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.queue.extend(outcome.meets)

    def changes(self) -> list[Found]:
        found, renames, keywords, parameters, lone = (
            [one for outcome in self.outcomes for one in getattr(outcome, part)]
            for part in ("problems", "renames", "keywords", "parameters", "lone_methods")
        )
        found += wrong_keywords(keywords, set(parameters))
        if renames:
            found += wrong_renames(renames, self.comparison.names, self._names(OLD, ()))
        if lone:
            ignored = [statement for method in lone for statement in method.statements]
            names = tuple(self._names(side, ignored) for side in (OLD, NEW))
            codes = self.comparison.codes
            found += [m.found for m in lone if not is_dead(m, codes[m.side], names[m.side])]
        return found + list(self._merged())

    def _names(self, side: int, without: Iterable[ast.AST]) -> Names:
        definitions = {pair[side] for pair in self.pairs}
        statements = [s for definition in definitions for s in definition.statements]
        return Names.of([*statements, *self.scripts[side].sequence], without)

    def _merged(self) -> Iterator[Found]:
        """Classes and values with a state of their own that were two and are one, or the other way round."""
        pairs = {pair for pair in self.pairs if self.counts(pair) and not _may_be_shared(pair[NEW])}
        for side, word in ((OLD, "is two now"), (NEW, "was two before")):
            often = Counter(pair[side] for pair in pairs)
            for pair in pairs:
                if often[pair[side]] > 1:
                    yield Found(*map(place, pair, self.comparison.codes), f"{pair[side].name} {word}")


def reached(code: Code, stage: str) -> set[Definition]:
    """All definitions that a stage uses."""
    every = {module.path for module in code.all_modules}
    run = StagePair(Comparison(code, code), stage, (every, every))
    run.follow()
    return {pair[OLD] for pair in run.pairs}


def place(definition: Definition, code: Code) -> str:
    """File and line."""
    path = definition.module.path.relative_to(code.scripts).as_posix()
    return f"{path}:{definition.statements[0].lineno}"


def _pair_the_rest(run: StagePair, old: set[Definition], new: set[Definition]) -> None:
    """Where the code around them changed, definitions of one name, or else of one shape, are taken for each other, so
    that all changes show; what is left is named too."""
    while True:
        left = old - {a for a, _ in run.pairs}, new - {b for _, b in run.pairs}
        pairs = _of_one_name(*left) or list(_of_one_shape(run, *left))
        if not pairs:
            break
        run.queue.extend(pairs)
        run.follow()
    for side, word in ((OLD, "no longer used"), (NEW, "newly used")):
        for definition in left[side]:
            if definition.module.path in run.files[side]:
                where = place(definition, run.comparison.codes[side])
                places = (where, "-") if side == OLD else ("-", where)
                run.outcomes.append(Outcome(problems=[Found(*places, f"{definition.name}: {word}")]))


def _of_one_name(old: set[Definition], new: set[Definition]) -> list[Pair]:
    often = [Counter(definition.name for definition in part) for part in (old, new)]
    before, after = ({d.name: d for d in part if {count[d.name] for count in often} == {1}} for part in (old, new))
    return [(before[name], after[name]) for name in before]


def _of_one_shape(run: StagePair, old: set[Definition], new: set[Definition]) -> Iterator[Pair]:
    """Functions and classes of the library that differ in nothing but names."""
    taken = set()
    parts = ([d for d in part if not d.module.is_script] for part in (old, new))
    for pair in product(*parts):
        kinds = {type(definition.statements[0]) for definition in pair}
        if kinds not in ({ast.FunctionDef}, {ast.ClassDef}) or not taken.isdisjoint(pair):
            continue
        if not run.comparison.outcome(pair, run.frame).problems:
            taken.update(pair)
            yield pair


def _may_be_shared(definition: Definition) -> bool:
    """Whether two equal ones are as good as one: functions, and values that nothing can change."""
    statement = definition.statements[0]
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) or len(definition.statements) > 1:
        return len(definition.statements) == 1
    changeable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.ClassDef, ast.GeneratorExp)
    nodes = list(ast.walk(statement))
    calls = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    return not any(isinstance(node, changeable) for node in nodes) and calls <= SAME_OBJECT
