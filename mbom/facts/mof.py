"""The Model Openness Framework 1.0: its components and classes, and by what a file or a link is taken for one of them.

Sources:
    "The Model Openness Framework (MOF) Specification", LF AI & Data, version 1.0, 17 December 2024,
    https://lfaidata.foundation/wp-content/uploads/sites/3/2025/01/05_White_paper_MOF_Specification.pdf.
    Kinds of content, and which component stands in for which: the Model Openness Tool, https://mot.isitopen.ai and
    https://github.com/lfai/model_openness_tool as of 2026-05-11 (mof.settings.yml, README.md). It has since made the
    supporting libraries optional; here they are required, as the specification has them.
"""

import re
from dataclasses import dataclass

from mbom.facts.openlicences import CODE, DATA, DOCUMENT
from mbom.inventory.roles import CARD, CONFIG, OTHER, WEIGHTS
from mbom.inventory.roles import CODE as CODE_ROLE

SOURCE = "https://lfaidata.foundation/wp-content/uploads/sites/3/2025/01/05_White_paper_MOF_Specification.pdf"
VERSION = "1.0"
CLASSES = {3: "Class III", 2: "Class II", 1: "Class I"}
TITLES = {3: "Open Model", 2: "Open Tooling", 1: "Open Science"}


_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> frozenset[str]:
    """Return the words of a name or a label."""
    return frozenset(_WORD.findall(text.lower()))


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component of a model's release.

    Attributes:
        key: our name for it.
        title: the framework's.
        kind: of content, which decides the licences that suit it.
        level: the number of the class that asks for it, from 3 (least) to 1.
        optional: whether a class can be reached without it.
    """

    key: str
    title: str
    kind: str
    level: int
    optional: bool = False


COMPONENTS = tuple(
    Component(key=key, title=title, kind=kind, level=level, optional=optional)
    for key, title, kind, level, optional in (
        ("model-architecture", "Model architecture", CODE, 3, False),
        ("final-parameters", "Model parameters (final)", DATA, 3, False),
        ("technical-report", "Technical report", DOCUMENT, 3, False),  # a research paper stands in for it
        ("evaluation-results", "Evaluation results", DOCUMENT, 3, False),
        ("model-card", "Model card", DOCUMENT, 3, False),
        ("data-card", "Data card", DOCUMENT, 3, False),
        ("sample-outputs", "Sample model outputs", DOCUMENT, 3, True),
        ("training-code", "Training, validation and testing code", CODE, 2, False),
        ("inference-code", "Inference code", CODE, 2, False),
        ("evaluation-code", "Evaluation code", CODE, 2, False),
        ("evaluation-data", "Evaluation data", DATA, 2, False),
        ("supporting-libraries", "Supporting libraries and tools", CODE, 2, False),
        ("research-paper", "Research paper", DOCUMENT, 1, False),
        ("datasets", "Datasets", DATA, 1, False),
        ("preprocessing-code", "Data preprocessing code", CODE, 1, False),
        ("intermediate-parameters", "Model parameters (intermediate)", DATA, 1, False),
        ("model-metadata", "Model metadata", DATA, 1, True),
    )
)
BY_KEY = {component.key: component for component in COMPONENTS}
# How training was run: no component of the framework, and still needed to repeat it.
RECIPE = Component(key="recipe", title="Training recipe", kind=DATA, level=0, optional=True)

# Words of a name (split at anything but letters and digits, in lower case) that say what program code is for. Code
# whose name has words of two purposes, or of none, is taken for neither.
CODE_WORDS = {
    "training-code": words("train training trainer pretrain pretraining finetune finetuning sft dpo ppo grpo rlhf"),
    "inference-code": words("inference infer predict generate"),
    "evaluation-code": words("eval evals evaluate evaluation benchmark benchmarks"),
    "preprocessing-code": words("preprocess preprocessing dedup deduplicate deduplication"),
}
# Prefixes of the modules that transformers loads from a repository: they define the model and its processors, and what
# follows in their names is the model's.
ARCHITECTURE_MODULE = re.compile(r"(modeling|modelling)(_\w+)?\.py|model\.py", re.ASCII)
LIBRARY_MODULE = re.compile(
    r"(configuration|tokenization|(image_|video_|audio_)?(pre)?processing|feature_extraction|generation)_\w+\.py",
    re.ASCII,
)
CODE_EXACTLY = {"handler.py": "inference-code", "preprocess.py": "preprocessing-code"}

# Lists of the software that a model is made or run with.
LIBRARIES = re.compile(
    r"requirements([-_.]\w+)?\.txt|pyproject\.toml|setup\.(py|cfg)|environment([-_.]\w+)?\.ya?ml|pipfile(\.lock)?"
    r"|(poetry|uv|pdm|pixi)\.lock|dockerfile|containerfile|flake\.nix|cargo\.toml|package\.json",
    re.ASCII,
)
METADATA_STEMS = frozenset({"trainer_state", "training_args", "optimizer", "optimizer_state", "scheduler"})
RECIPE_STEMS = frozenset({"training_args", "training_config", "train_config", "recipe", "training_recipe"})
INTERMEDIATE = re.compile(
    r"(checkpoint|ckpt|step|global_step|iter|epoch)s?[-_]?\d{1,12}|intermediate([-_]\w+)?", re.ASCII
)

RECORD_SUFFIXES = frozenset({".jsonl", ".parquet", ".arrow", ".csv", ".tsv", ".ndjson"})  # one row, one example
DATA_SUFFIXES = RECORD_SUFFIXES | {".json", ".txt", ".gz", ".zst", ".xz", ".tar", ".zip"}
DOCUMENT_SUFFIXES = frozenset({".md", ".pdf", ".txt", ".rst", ".html", ".tex", ".docx"})
RESULT_SUFFIXES = DOCUMENT_SUFFIXES | {".json", ".jsonl", ".csv", ".tsv", ".yaml", ".yml"}

EVALUATION_WORDS = words("eval evals evaluation evaluations benchmark benchmarks test testset heldout")
RESULT_WORDS = words("result results score scores metrics")
DATA_WORDS = words("data dataset datasets corpus corpora pretraining train training")
SAMPLE_WORDS = words("sample samples example examples")
OUTPUT_WORDS = words("output outputs generation generations completion completions")
PAPER_WORDS = words("paper preprint manuscript")
REPORT_WORDS = (frozenset({"technical", "tech"}), frozenset({"report"}))

# What a link's host holds. Links to other hosts are of no interest: cards are full of chat rooms and badges.
CODE_HOSTS = frozenset({"github.com", "gitlab.com", "codeberg.org", "bitbucket.org", "gitee.com"})
PAPER_HOSTS = frozenset({"arxiv.org", "www.arxiv.org", "doi.org", "dx.doi.org", "openreview.net", "aclanthology.org"})
HUB_HOSTS = frozenset({"huggingface.co", "hf.co"})
# A label that says that a repository or a dataset is what this model was trained with, rather than that it exists.
TRAINED_WORDS = words("training train trained pretraining pretrain")

# A section of the card can stand in for a data card or hold the evaluation results, as the tool's README says.
TEXT_NEEDED = 200  # characters below which a card or a section says nothing: about three lines
FIGURES_NEEDED = 3  # numbers in tables and lists below which a section gives no results
_DATA_TITLE = words("data dataset datasets datasheet")
_DATA_TITLE_REST = words("training pretraining pre model card and the overview details source sources mixture")
_RESULTS_TITLE = words("evaluation evaluations eval evals benchmark benchmarks results")
_RECIPE_TITLE = words("procedure recipe hyperparameter hyperparameters")


def is_report(found: frozenset[str]) -> bool:
    """Tell whether words name a technical report."""
    return all(found & options for options in REPORT_WORDS)


def code_purpose(found: frozenset[str]) -> str | None:
    """Return the component that the words of a name of program code stand for, where it is one and only one."""
    purposes = [key for key, names in CODE_WORDS.items() if found & names]
    return purposes[0] if len(purposes) == 1 else None


def link_purpose(host: str, path: str, label: str) -> str | None:
    """Return the component that a link stands for, by its host and its label; None where the card does not say.

    That something exists says nothing of what it has to do with this model: only a label does, or the name of a
    repository of code.
    """
    named = words(label)
    if host in CODE_HOSTS:
        return code_purpose(named) or code_purpose(named | words(path))
    if host in PAPER_HOSTS or path.startswith("/papers/"):
        return "technical-report" if is_report(named) else "research-paper" if named & PAPER_WORDS else None
    if named & EVALUATION_WORDS:
        return "evaluation-data"
    return "datasets" if named & TRAINED_WORDS else None


def section_purpose(title: str, *, characters: int, figures: int) -> str | None:
    """Return the component that a section of a card stands for; None where its title does not say, or it is empty."""
    named = words(title)
    if named & _DATA_TITLE and named <= _DATA_TITLE | _DATA_TITLE_REST:
        return "data-card" if characters >= TEXT_NEEDED else None
    if named & _RESULTS_TITLE and not named & (_DATA_TITLE | {"code"}):
        return "evaluation-results" if figures >= FIGURES_NEEDED else None
    if named & _RECIPE_TITLE and named & (TRAINED_WORDS | _RECIPE_TITLE - {"procedure"}):
        return RECIPE.key if characters >= TEXT_NEEDED else None
    return None


def file_purposes(path: str, role: str) -> tuple[str, ...]:
    """Return the components that a file stands for by its name and its role, other than the final parameters.

    Nothing is said of a file whose name could mean two of them: a wrong "present" is worse than a missing one.
    """
    folder, _, base = path.lower().rpartition("/")
    stem, suffix = (base[: base.rfind(".")], base[base.rfind(".") :]) if "." in base[1:] else (base, "")
    if role == WEIGHTS:
        intermediate = any(INTERMEDIATE.fullmatch(part) for part in folder.split("/"))
        return ("intermediate-parameters",) if intermediate else ()
    if LIBRARIES.fullmatch(base):
        return ("supporting-libraries",)
    if role == CODE_ROLE:
        found = _code(folder, base, stem)
        return (found,) if found is not None else ()
    if role not in (CARD, CONFIG, OTHER):
        return ()
    if stem in METADATA_STEMS | RECIPE_STEMS:
        return tuple(
            key for key, stems in (("model-metadata", METADATA_STEMS), (RECIPE.key, RECIPE_STEMS)) if stem in stems
        )
    found = _document(folder, stem, suffix) if role != CONFIG else None
    return (found,) if found is not None else ()


def _code(folder: str, base: str, stem: str) -> str | None:
    if ARCHITECTURE_MODULE.fullmatch(base):
        return "model-architecture"
    if LIBRARY_MODULE.fullmatch(base):
        return None
    if base in CODE_EXACTLY:
        return CODE_EXACTLY[base]
    own, around = words(stem), words(folder)
    if own & {"data", "dataset"} and own & {"prepare", "process", "processing", "preparation", "clean", "cleaning"}:
        return "preprocessing-code"
    return code_purpose(own) if any(own & names for names in CODE_WORDS.values()) else code_purpose(around)


def _document(folder: str, stem: str, suffix: str) -> str | None:
    own, around = words(stem), words(folder)
    both = own | around
    if suffix in RESULT_SUFFIXES and both & RESULT_WORDS and both & (EVALUATION_WORDS | {"all"}):
        return "evaluation-results"
    if both & OUTPUT_WORDS and both & SAMPLE_WORDS:
        return "sample-outputs"
    if suffix in DOCUMENT_SUFFIXES and suffix != ".txt":
        return _text(own, around)
    return _data(own, around, suffix)


def _data(own: frozenset[str], around: frozenset[str], suffix: str) -> str | None:
    named = around | own if suffix in RECORD_SUFFIXES else around
    if suffix not in DATA_SUFFIXES or not named & (EVALUATION_WORDS | DATA_WORDS):
        return None
    return "evaluation-data" if named & EVALUATION_WORDS else "datasets"


def _text(own: frozenset[str], around: frozenset[str]) -> str | None:
    if is_report(own):
        return "technical-report"
    if own & PAPER_WORDS:
        return "research-paper"
    if own & {"datasheet", "datacard"} or (own & {"data", "dataset"} and "card" in own):
        return "data-card"
    if own == {"readme"} and around & {"data", "dataset", "datasets"}:
        return "data-card"
    return "model-card" if "modelcard" in own or own == {"model", "card"} else None
