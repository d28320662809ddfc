"""Two versions of a stage: its script, every definition that it uses, what runs when its modules are imported."""

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from tools.equivalents.code import Code, Definition, Module, Part
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
        run = _Stage(self, stage, lambda definition: definition.module.path in files[NEW])
        changes = [*_changed_effects(run, *files), *_changed_data(*files)]
        run.follow()
        changes += run.changes()
        if changes:
            _pair_by_name(run, *(reached(code, stage) for code in self.codes))
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
            walk.body(pair[OLD].statements, pair[NEW].statements)
            self._outcomes[pair] = walk.outcome
        return self._outcomes[pair]

    @cached_property
    def names(self) -> tuple[Names, Names]:
        return tuple(map(names_of, self.codes))


class _Stage:
    """Which old definition is which new one, from a stage's scripts on. Those that do not count are not looked into."""

    def __init__(self, comparison: Comparison, stage: str, counts: Callable[[Definition], bool]):
        self.comparison, self.counts = comparison, counts
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
        walk.body(old, new)
        self._take(walk.outcome)

    def follow(self) -> None:
        """Compare all that waits, and what it uses in turn."""
        while self.queue:
            pair = self.queue.pop()
            is_version = all(definition.name == "__version__" for definition in pair)
            if pair not in self.pairs:
                self.pairs.add(pair)
                if self.counts(pair[NEW]) and not is_version:
                    self._take(self.comparison.outcome(pair, self.frame))

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
        pairs = {pair for pair in self.pairs if self.counts(pair[NEW]) and not _may_be_shared(pair[NEW])}
        for side, word in ((OLD, "is two now"), (NEW, "was two before")):
            often = Counter(pair[side] for pair in pairs)
            for pair in pairs:
                if often[pair[side]] > 1:
                    yield Found(*map(place, pair, self.comparison.codes), f"{pair[side].name} {word}")


def reached(code: Code, stage: str) -> set[Definition]:
    """All definitions that a stage uses."""
    run = _Stage(Comparison(code, code), stage, lambda definition: True)
    run.follow()
    return {pair[OLD] for pair in run.pairs}


def place(definition: Definition, code: Code) -> str:
    """File and line."""
    path = definition.module.path.relative_to(code.scripts).as_posix()
    return f"{path}:{definition.statements[0].lineno}"


def _pair_by_name(run: _Stage, old: set[Definition], new: set[Definition]) -> None:
    """Where the code around it changed, definitions of one name are taken for each other, so that all changes show."""
    while True:
        left = old - {a for a, _ in run.pairs}, new - {b for _, b in run.pairs}
        named = tuple({d.name: d for d in part} for part in left)
        common = [name for name in named[OLD] if name in named[NEW]]
        if not common:
            break
        run.queue.extend((named[OLD][name], named[NEW][name]) for name in common)
        run.follow()
    for side, word in ((OLD, "no longer used"), (NEW, "newly used")):
        code = run.comparison.codes[side]
        for definition in left[side]:
            if side == OLD or run.counts(definition):
                where = place(definition, code)
                places = (where, "-") if side == OLD else ("-", where)
                run.outcomes.append(Outcome(problems=[Found(*places, f"{definition.name}: {word}")]))


def _may_be_shared(definition: Definition) -> bool:
    """Whether two equal ones are as good as one: functions, and values that nothing can change."""
    statement = definition.statements[0]
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    changeable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.ClassDef, ast.GeneratorExp)
    nodes = list(ast.walk(statement))
    calls = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    return not any(isinstance(node, changeable) for node in nodes) and calls <= SAME_OBJECT


def _changed_effects(run: _Stage, old_files: set[Path], new_files: set[Path]) -> Iterator[Found]:
    """Statements that run at import. One that is gone is none where the new code has it in a module that does not
    count, such as one that draws."""
    old, new = run.comparison.codes
    before, after = list(_effects(old, old_files)), list(_effects(new, new_files))
    elsewhere = {ast.dump(s) for _, s in _effects(new, {module.path for module in new.all_modules} - new_files)}
    for module, statement in after:
        text = ast.dump(statement)
        match = next((pair for pair in before if ast.dump(pair[1]) == text), None)
        if match:
            before.remove(match)
            run.walk((match[0], module), [match[1]], [statement])
        else:
            yield Found("-", f"{module.path.relative_to(new.scripts)}:{statement.lineno}", "runs at import")
    for module, statement in before:
        if ast.dump(statement) not in elsewhere:
            yield Found(f"{module.path.relative_to(old.scripts)}:{statement.lineno}", "-", "ran at import")


def _effects(code: Code, files: set[Path]) -> Iterator[tuple[Module, ast.stmt]]:
    """What runs in these modules when they are imported, besides definitions: calls, and decorators of the library,
    which may keep what they decorate."""
    for module in code.all_modules:
        if module.path in files and not module.is_script:
            yield from ((module, statement) for statement in module.effects)
            for definition in set(module.defined.values()):
                for statement in definition.statements:
                    roots = [next(ast.walk(d), None) for d in getattr(statement, "decorator_list", [])]
                    names = [n.id for d in roots for n in ast.walk(d) if isinstance(n, ast.Name)]
                    if any(isinstance(code.lookup(module, name), Part) for name in names):
                        yield module, statement


def _changed_data(old_files: set[Path], new_files: set[Path]) -> Iterator[Found]:
    """Files beside the modules, by content."""
    old, new = (
        {path.read_bytes(): path.name for path in files if path.suffix != ".py"} for files in (old_files, new_files)
    )
    yield from (Found(name, "-", "its content is not there any more") for data, name in old.items() if data not in new)
    yield from (Found("-", name, "its content is new") for data, name in new.items() if data not in old)
