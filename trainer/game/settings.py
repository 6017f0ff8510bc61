"""Settings of the game: everything under ``azr.*`` and what it needs of ``reward_fn.*``.

Names and defaults are AZR's, so that its users find their way; keys that are new, and defaults that
differ, say so. An unknown key is an error. Four keys are read but have no effect, because what they
tuned does not exist here: ``executor_cleanup_frequency``, ``ast_check``,
``data_selection_strategy.data_len`` and ``data_selection_strategy.batched_estimate``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trainer.game.tasks.task import AZR_NAMES, TASK_ORDER, TaskType

type AzrName = Literal["code_i", "code_o", "code_e", "code_f"]
type ExecutorName = Literal["nsjail", "docker", "gvisor", "sandboxfusion", "http", "ray", "process"]

BANNED_WORDS = (
    "logging", "random", "multiprocessing", "pebble", "subprocess", "threading", "datetime", "time",
    "hashlib", "hmac", "bcrypt", "os.sys", "os.path", "sys.exit", "os.environ", "calendar",
)  # fmt: skip
"""AZR's list."""


class Settings(BaseModel):
    """Base of all settings: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _one_or_many(value: object) -> object:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


class RewardTerm(Settings):
    """An intrinsic reward: adds ``min(coef * value, max)`` where it is enabled."""

    enabled: bool = False
    """Add it; its value is logged either way."""
    coef: float = 0.0
    """Factor of the value."""
    max: float = 0.5
    """The most that is added."""


class DiversityTerm(RewardTerm):
    """An intrinsic reward of rare answers."""

    hierarchical: bool = False
    """Half for the rarity of the answer's type, half for that of the answer within its type."""


class GenerationRewardConfig(Settings):
    """``azr.reward.generation_reward_config``: how proposals are cleaned, refused and rewarded."""

    format_reward: bool = True
    """Whether the tags are wanted; else every response counts as well-formed."""
    reject_multiple_functions: bool = True
    """Refuse programs of several functions. Functions at the top level count. (AZR counts nested
    ones and methods too, against its own prompt, which invites them.)"""
    reject_test_input_in_code: bool = False
    """Refuse programs that seem to hold test inputs or examples."""
    f_replace_location: Literal["not_first", "not_last", "any_first", "any_last"] = "not_first"
    """Which function becomes ``f``: ``not_first`` the first one, ``not_last`` the last one;
    ``any_first`` and ``any_last`` one that is called ``f``, else the first or last one."""
    intrinsic_combine_method: Literal["sum", "multiply", "sum_multiply", "multiply_sum"] = "sum"
    """With learnability a and intrinsic rewards c: a + sum(c), a * prod(c), a + prod(c) or
    a * sum(c)."""
    remove_after_return: bool = False
    """Keep only imports, functions and classes of the top level."""
    remove_comments: bool = False
    """Remove comments and docstrings."""
    remove_print: bool = False
    """Remove calls of ``print``."""
    use_original_code_as_ref: bool = False
    """Intrinsic rewards look at the new part of a composite program only."""
    generation_accuracy_convertion: Literal["one_minus", "inverse"] = "one_minus"
    """Learnability of a solve rate p: ``one_minus`` 1 - p but 0 for p = 0; ``inverse`` 1 - p."""
    remove_input_from_snippet: bool = False
    """Ask for programs that do not hold the test input."""
    include_references: bool = True
    """Show the proposer example tasks."""
    code_location: Literal["first", "last"] = "first"
    """The Python block of a proposal that is the program."""
    complexity_reward: RewardTerm = RewardTerm()
    """Intrinsic reward, which adds min(coef * value, max): cognitive complexity of the program."""
    mean_edit_distance_reward: RewardTerm = RewardTerm()
    """Likewise: edit distance of its syntax tree to those of the references."""
    halstead_reward: RewardTerm = RewardTerm()
    """Likewise: Halstead's measures with cyclomatic complexity."""
    answer_diversity_reward: DiversityTerm = DiversityTerm()
    """Likewise: rarity of the task's input (code_i), output (code_o) or error (code_e);
    ``hierarchical``: half for that of its type, half for that within its type."""
    f_input_answer_diversity_reward: DiversityTerm = DiversityTerm()
    """Likewise: mean rarity of the inputs of an induction task."""
    f_output_answer_diversity_reward: DiversityTerm = DiversityTerm()
    """Likewise: mean rarity of its outputs."""
    extra_rewards: dict[str, RewardTerm] = Field(default_factory=dict)
    """New. Rewards of one's own by the name given to ``register_reward``:
    ``{my_reward: {enabled: true, coef: 0.5, max: 0.5}}``."""
    reward_modules: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = ()
    """New. Modules to import that register rewards."""


class RewardSettings(Settings):
    """``azr.reward``."""

    n_samples: int = Field(8, ge=1)
    """Solver rollouts per valid proposal, to estimate its solve rate."""
    extract_code_block: bool = True
    """Take the fenced block out of a solver's answer; else the answer is taken as it stands."""
    code_f_reward_type: Literal["binary", "accuracy", "if_one_correct"] = "binary"
    """Induction: all hidden pairs, the share of them, or at least one."""
    zero_learnability: Literal["penalty", "zero"] = "penalty"
    """New. What a well-formed proposal with learnability 0 gets: -0.5, as the code that made the
    paper's results, or 0, as in the paper's equations."""
    learnability_temperature: float = Field(1.0, gt=0)
    """New. Temperature of the rollouts that estimate solve rates. (AZR's newest version samples
    greedily by mistake, which makes every learnability 0.)"""
    generation_reward_config: GenerationRewardConfig = GenerationRewardConfig()


class CompositeScheduler(Settings):
    """``azr.data_selection_strategy.composite_scheduler``."""

    enabled: bool = False
    """Raise the number of functions and the chance of composite programs over time."""
    update_num_programs_start: int = 101
    """First step with one more function."""
    update_num_programs_interval: int = Field(50, ge=1)
    """Steps between one more function and the next."""
    num_programs_max: int = 3
    """Most functions."""
    update_probability_start: int = 101
    """First step with a higher chance."""
    update_probability_interval: int = Field(50, ge=1)
    """Steps between higher chances."""
    update_probability_max: float = Field(0.8, ge=0, le=1)
    """Highest chance."""
    update_probability_increment: float = Field(0.01, ge=0)
    """Growth of the chance."""


class DataSelectionStrategy(Settings):
    """``azr.data_selection_strategy``."""

    io_n: int = Field(6, ge=1)
    """Reference tasks in a proposer's prompt."""
    update_iteration: int = Field(1, ge=1)
    """Steps that are served by one drawing of prompts."""
    data_len: int | None = None
    """No effect: prompts per drawing are ``train_batch_size * update_iteration``."""
    seed_batch_factor: int = Field(4, ge=1)
    """Seeds wanted: this many times the prompts per drawing."""
    content_max_length: int = Field(8096, ge=1)
    """Longest prompt that is built, in tokens (``data.max_prompt_length`` holds too)."""
    valid_program_filter: Literal["all", "non_one", "non_extremes"] = "all"
    """Valid proposals that are stored, by solve rate p: all, p < 1, or 0 < p < 1."""
    max_programs: int | None = Field(None, ge=1)
    """Most tasks kept per type; the oldest go first. (AZR drops the newest instead.)"""
    batched_estimate: bool = False
    """No effect: the executor works in batches anyway."""
    composite_function_n_min: int = -1
    """Fewest functions that a composite program builds on; 0 or less: none."""
    composite_function_n_max: int = -1
    """Most functions that it builds on (this many included); 0 or less: none."""
    composite_chance: float = Field(0.5, ge=0, le=1)
    """Share of proposer prompts that ask for a composite program."""
    composite_start_step: int = -1
    """First step with composite prompts; 0 or less: never."""
    max_programs_initial: int | None = None
    """The scheduler's start for ``composite_function_n_max``; null: that value."""
    composite_chance_initial: float | None = None
    """The scheduler's start for ``composite_chance``; null: that value."""
    composite_scheduler: CompositeScheduler = CompositeScheduler()
    num_inputs: int = Field(10, ge=2)
    """Inputs of an induction task; half of them are hidden from the solver."""
    banned_words: tuple[str, ...] = BANNED_WORDS
    """Modules, or attributes of modules (``os.path``), that proposed programs may not use."""
    banned_keywords_for_errors_and_exceptions: tuple[
        Literal["raise", "assert", "try", "except"], ...
    ] = ()
    """Statements that a proposed program of error deduction may not contain."""

    @model_validator(mode="after")
    def _composite_bounds(self) -> Self:
        if self.composite_function_n_max > 0 and not (
            0 < self.composite_function_n_min <= self.composite_function_n_max
        ):
            raise ValueError(
                "composite_function_n_min must be from 1 to composite_function_n_max "
                f"({self.composite_function_n_max}), not {self.composite_function_n_min}"
            )
        return self


class AdvantageSettings(Settings):
    """``azr.advantage``. New."""

    weighting: Literal["token", "sequence"] = "token"
    """What a baseline averages over: ``token`` weighs a response by its length, as the code that
    made the paper's results; ``sequence`` weighs all alike, as the paper's equation."""
    baseline: Literal["task_relative", "global"] = "task_relative"
    """A baseline for each role and task type (TRR++), or one for all responses of a step
    (REINFORCE++)."""
    loss_rows: int | None = Field(None, ge=1)
    """Null: the loss is one token mean over all responses of a step. A number: the mean of the
    token means over so many responses of one role and task type, as the original's micro-batches
    of 16 have it; then a group of short responses weighs as much as one of long ones."""
    shuffle_rewards: bool = False
    """Train on rewards that are shuffled among the responses of the same role and task type: a
    control, with which nothing can be learnt. Metrics show the true rewards."""


class AzrSettings(Settings):
    """``azr``."""

    seed: int = 1
    """Seed of all the game's random choices. (AZR never reads it.)"""
    executor: ExecutorName = "nsjail"
    """What runs and judges programs. ``nsjail``, ``docker``, ``gvisor``: sandboxes of this machine;
    ``http``: a running server; ``sandboxfusion``: its protocol, by the project's own service unless
    a URL is given; ``ray``: nsjail on every node of the run's Ray cluster; ``process``: no
    isolation at all, for trusted programs only."""
    executor_url: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = ()
    """New. URL of a running server, or (``http`` only) a list of several:
    ``[http://a:8080,http://b:8080]``. Refused where it would be ignored."""
    executor_max_workers: int | None = Field(None, ge=1)
    """Warm sandboxes; for ``ray`` of each node. Null: two per processor core. (AZR has 1, without
    effect.)"""
    executor_cpus_per_node: int | None = Field(None, ge=1)
    """New. For ``ray``: cores of each node that are reserved of Ray for programs. Null: none is
    reserved, and all cores are used beside the training."""
    executor_store: str | None = None
    """New. Where proven results are shared with other processes, machines and later runs: the path
    of an SQLite file, or ``redis://HOST``. Not for ``http``: there it is the service's."""
    executor_store_key: str | None = None
    """New. File with the secret that the store's entries are signed with. Null: the store's path
    and ``.key``, made at the first use."""
    executor_libraries: str | None = None
    """New. Library set that programs may import, such as ``data``; null: the standard library only.
    Not for ``process``, nor for ``sandboxfusion`` with a URL."""
    executor_cleanup_frequency: int = 1
    """No effect: the executor renews its sandboxes itself."""
    executor_patience_s: float = Field(600.0, ge=0)
    """New. Seconds that a step waits for an executor that cannot be reached. Then the run saves and
    stops."""
    ast_check: bool = True
    """No effect: programs that do not compile never run."""
    execute_max_timeout: float = Field(10.0, gt=0)
    """Wall-clock seconds of one run."""
    execute_max_cpu_s: int = Field(5, ge=1)
    """New. Processor seconds of one run."""
    execute_max_memory_mib: int = Field(512, ge=16)
    """New. Memory of one run, in MiB."""
    max_output_chars: int = Field(2048, ge=1)
    """New. A proposal with a longer output is refused. (AZR cuts it at 400 characters and keeps a
    task that nobody can solve.)"""
    problem_types: tuple[AzrName, ...] = Field(("code_i", "code_o", "code_f"), min_length=1)
    """The task types that are played, of ``code_i`` (abduction: find an input), ``code_o``
    (deduction: find the output), ``code_f`` (induction: find the program) and ``code_e`` (error
    deduction: name the exception)."""
    pred_data_mix_strategy: Literal["uniform_total", "max_new", "half_new", "step"] = "max_new"
    """How the solver's tasks are drawn. ``max_new``: the newest first, the rest from all;
    ``half_new``: half of them; ``uniform_total``: from all alike; ``step``: in proportion to
    step + 1."""
    gen_data_probabilities_strategy: Literal["uniform", "step"] = "uniform"
    """Drawing of the proposer's reference tasks: all alike, or in proportion to step + 1."""
    past_epoch_window: int | None = Field(None, ge=1)
    """Tasks are new for this many steps; null: ``update_iteration``."""
    overlap_estimates: bool | None = None
    """New. Generate a proposal's solver rollouts as soon as its verdict is there, beside what else
    is being generated; false: when all verdicts are there. Rewards are the same either way. Null:
    true, but for ``rollout.name=hf``, which decodes batch by batch."""
    dedup: bool = True
    """New. Refuse tasks that a buffer already holds. (AZR keeps them.)"""
    seed_dataset: str | None = None
    """File of seeds of abduction and deduction (jsonl). ``builtin``: the few that come with the
    project; null: made by the model from the identity function."""
    error_seed_dataset: str | None = None
    """Likewise for error deduction."""
    code_f_seed_dataset: str | None = None
    """Likewise for induction."""
    output_seed_path: str | None = None
    """Where seeds of abduction and deduction that the model made are written; null: nowhere
    (checkpoints hold them anyway)."""
    output_error_seed_path: str | None = None
    """Likewise for error deduction."""
    output_code_f_seed_path: str | None = None
    """Likewise for induction."""
    generate_seed_dataset_only: bool = False
    """Stop when the seeds are made. (``python -m trainer seed generate`` does it without a run.)"""
    seeding_max_rounds: int = Field(200, ge=1)
    """New. Rounds of prompting after which seeding gives up."""
    pretrain_pred_steps: int = -1
    """First steps that train the solver only, on the seeds; -1: none."""
    train_propose: bool = True
    """Train on proposals; else they are made, scored and stored, but not trained on."""
    random_print_max_programs: int = Field(3, ge=0)
    """Sample proposals and answers per kind that a step reports."""
    validation_samples: int = Field(0, ge=0)
    """New. Answers at temperature 1 to each row of ``data.val_files``, beside the greedy one:
    ``val/sampled_score/SOURCE``."""
    held_out_tasks: str | None = None
    """New. A jsonl file of tasks that the model is to be tested on, such as that of
    ``data.val_files``: proposals of the same programs are masked and not stored."""
    prompt_set: Literal["rewritten", "original"] = "rewritten"
    """New. ``rewritten``: the project's own prompts; ``original``: the original's, word for word,
    as presets of published runs have them."""
    prompts_dir: str | None = None
    """New. A folder of prompt templates that take the place of those of the same name in
    ``trainer/game/texts/prompts/``."""
    data_selection_strategy: DataSelectionStrategy = DataSelectionStrategy()
    reward: RewardSettings = RewardSettings()
    advantage: AdvantageSettings = AdvantageSettings()

    @model_validator(mode="after")
    def _server_has_url(self) -> Self:
        urls = len(self.executor_url)
        if self.executor == "http" and not urls:
            raise ValueError("executor=http needs executor_url")
        if self.executor not in ("http", "sandboxfusion") and urls:
            raise ValueError(
                f"executor_url would be ignored with executor={self.executor}: it is for http and "
                "sandboxfusion"
            )
        if self.executor == "sandboxfusion" and urls > 1:
            raise ValueError(
                "executor=sandboxfusion takes one executor_url; a list of several is for http"
            )
        if self.executor_libraries and (
            self.executor == "process" or (self.executor == "sandboxfusion" and urls)
        ):
            raise ValueError(f"executor={self.executor} has no library sets (executor_libraries)")
        return self

    @model_validator(mode="after")
    def _cpus_are_used(self) -> Self:
        if self.executor_cpus_per_node is not None and self.executor != "ray":
            raise ValueError(
                f"executor_cpus_per_node would be ignored with executor={self.executor}: it is for "
                "ray"
            )
        return self

    @model_validator(mode="after")
    def _store_is_used(self) -> Self:
        if self.executor == "http" and self.executor_store is not None:
            raise ValueError("executor_store is not for executor=http: give it to the service")
        if self.executor_store_key is not None and self.executor_store is None:
            raise ValueError("executor_store_key is given, but no executor_store")
        return self

    @property
    def task_types(self) -> tuple[TaskType, ...]:
        """The task types that are played, in AZR's order."""
        return tuple(task for task in TASK_ORDER if AZR_NAMES[task] in self.problem_types)

    @property
    def new_window(self) -> int:
        """Steps for which a task is new."""
        return self.past_epoch_window or self.data_selection_strategy.update_iteration


class RewardFnSettings(Settings):
    """``reward_fn``: how an answer is marked in a response."""

    extraction_type: Literal[
        "answer_conditional", "answer_addition", "answer_multiply",
        "boxed_conditional", "boxed_addition", "boxed_multiply",
    ] = "answer_conditional"  # fmt: skip
    """``answer...``: think and answer tags; ``boxed...``: the last box. What follows the first word
    has no effect."""
    boxed_retry: bool = False
    """Without an answer tag take the last box, or the whole text."""

    @property
    def style(self) -> Literal["answer", "boxed"]:
        """The way that an answer is marked."""
        return "boxed" if self.extraction_type.startswith("boxed") else "answer"


class GameSettings(Settings):
    """All that the game needs to know."""

    azr: AzrSettings = AzrSettings()
    reward_fn: RewardFnSettings = RewardFnSettings()
    train_batch_size: int = Field(64, ge=1)
    """Prompts per kind and step (``data.train_batch_size``)."""
    max_prompt_length: int | None = Field(6144, ge=1)
    """Longest prompt that the model takes, in tokens (``data.max_prompt_length``)."""

    @property
    def data_len(self) -> int:
        """Prompts per kind and drawing."""
        return self.train_batch_size * self.azr.data_selection_strategy.update_iteration

    @property
    def seeds_wanted(self) -> int:
        """Size that seed sets are grown or cut to."""
        return self.data_len * self.azr.data_selection_strategy.seed_batch_factor

    @property
    def longest_prompt(self) -> int:
        """The stricter of the two bounds on a prompt, in tokens."""
        bound = self.azr.data_selection_strategy.content_max_length
        return min(bound, self.max_prompt_length or bound)
