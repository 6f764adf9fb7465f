"""The named recipes, and where each of their numbers comes from.

What `SOURCES` does not list for a recipe is not published: our choice.
"""

import dataclasses

from jax_depth.training.augment import Augmentation
from jax_depth.training.recipe import (
    DataSettings,
    LossSettings,
    ModelSettings,
    OptimizerSettings,
    Recipe,
    RunSettings,
    leaves,
)

OURS = "not published: our choice"
# The source of a setting that differs from the named recipe's.
CHANGED = "changed"

# V1, section 3.2, names colour jitter and Gaussian blur and gives no strength. CutMix,
# its third perturbation, is a setting of the loss.
_STRONG = dataclasses.replace(
    Augmentation.flip_only(),
    contrast=0.4,
    brightness=0.4,
    saturation=0.4,
    blur_share=0.5,
    blur=(0.1, 2.0),
)

_V1_TEACHER = Recipe(
    name="v1-teacher",
    model=ModelSettings(
        "depth-anything-large", init="dinov2-large", init_parts="encoder", remat=True
    ),
    data=DataSettings(size=518, batch=64),
    loss=LossSettings("affine_invariant", gradient=0.5),
    optimizer=OptimizerSettings(
        learning_rate=5e-6, head_factor=10.0, schedule="linear"
    ),
    # 20 epochs of 1.5 million pictures at batch 64.
    run=RunSettings(steps=468_750),
)
_V1_STUDENT = dataclasses.replace(
    _V1_TEACHER,
    name="v1-student",
    data=DataSettings(
        size=518, batch=96, pseudo_share=2 / 3, pseudo_augmentation=_STRONG
    ),
    loss=LossSettings(
        "affine_invariant",
        gradient=0.5,
        labelled=1 / 3,
        pseudo=1 / 3,
        cutmix=0.5,
        feature=1 / 3,
        feature_reference="dinov2-large",
        feature_margin=0.85,
    ),
    # One pass over 62 million unlabelled pictures, 64 a step.
    run=RunSettings(steps=968_750),
)
_V2_TEACHER = Recipe(
    name="v2-teacher",
    model=ModelSettings(
        "depth-anything-v2-giant",
        init="dinov2-giant",
        init_parts="encoder",
        remat=True,
        scan=True,
    ),
    data=DataSettings(size=518, batch=64),
    loss=LossSettings("affine_invariant", gradient=2.0),
    optimizer=OptimizerSettings(
        learning_rate=5e-6, head_factor=10.0, schedule="linear"
    ),
    run=RunSettings(steps=160_000),
)
_V2_STUDENT = Recipe(
    name="v2-student",
    model=ModelSettings(
        "depth-anything-v2-small", init="dinov2-small", init_parts="encoder"
    ),
    data=DataSettings(size=518, batch=192, pseudo_share=1.0),
    loss=LossSettings(
        "affine_invariant",
        pseudo_trim=0.1,
        gradient=2.0,
        feature=1.0,
        feature_reference="dinov2-small",
        feature_margin=0.85,
    ),
    optimizer=OptimizerSettings(
        learning_rate=5e-6, head_factor=10.0, schedule="linear"
    ),
    run=RunSettings(steps=480_000),
)
_METRIC_INDOOR = Recipe(
    name="metric-indoor",
    model=ModelSettings(
        "depth-anything-v2-large",
        kind="metric_depth",
        max_depth=20.0,
        init="depth-anything-v2-large",
        init_parts="encoder",
        dtype="float32",
    ),
    data=DataSettings(size=518, batch=32, min_depth=1e-3, max_depth=20.0),
    loss=LossSettings("silog", gradient=0.0, variance_focus=0.5),
    optimizer=OptimizerSettings(
        learning_rate=5e-6,
        head_factor=10.0,
        b1=0.9,
        b2=0.999,
        eps=1e-8,
        weight_decay=0.01,
        decay_all=True,
        clip_norm=float("inf"),
        schedule="polynomial",
        average=0.0,
    ),
    # 120 epochs of Hypersim's 59,543 training frames.
    run=RunSettings(steps=223_200),
)
_METRIC_OUTDOOR = dataclasses.replace(
    _METRIC_INDOOR,
    name="metric-outdoor",
    model=dataclasses.replace(_METRIC_INDOOR.model, max_depth=80.0),
    data=dataclasses.replace(_METRIC_INDOOR.data, max_depth=80.0),
    # 120 epochs of 611 steps.
    run=RunSettings(steps=73_320),
)
_FINETUNE = Recipe(
    name="finetune",
    model=ModelSettings(
        "depth-anything-v2-small",
        kind="metric_depth",
        max_depth=20.0,
        # A metric head: a relative one gives inverse depth, and would have to be
        # inverted.
        init="depth-anything-v2-metric-indoor-small",
    ),
    data=DataSettings(size=518, batch=8, max_depth=20.0),
    loss=LossSettings("silog", gradient=0.0),
    optimizer=OptimizerSettings(
        learning_rate=5e-6,
        head_factor=10.0,
        layer_decay=0.9,
        schedule="cosine",
        warmup=200,
        average=0.999,
    ),
    run=RunSettings(steps=5000, save_every=500, evaluate_every=500),
)
_FINETUNE_RELATIVE = dataclasses.replace(
    _FINETUNE,
    name="finetune-relative",
    model=ModelSettings("depth-anything-v2-small", init="depth-anything-v2-small"),
    data=DataSettings(size=518, batch=8),
    loss=LossSettings("affine_invariant", gradient=2.0),
)
_PROMPT_FINETUNE = dataclasses.replace(
    _FINETUNE,
    name="prompt-finetune",
    model=ModelSettings(
        "prompt-depth-anything-small",
        kind="metric_depth",
        max_depth=20.0,
        # Its raw output grows with distance, as the branch's has to.
        init="depth-anything-v2-metric-indoor-small",
    ),
    loss=LossSettings("silog", gradient=0.5),
    optimizer=dataclasses.replace(_FINETUNE.optimizer, prompt_first=500),
)
_TINY = Recipe(
    name="tiny",
    model=ModelSettings("tiny", frozen=("encoder/stem",), dtype="float32"),
    data=DataSettings(
        size=160, batch=16, augmentation=Augmentation(), threads=2, prefetch=3
    ),
    loss=LossSettings("affine_invariant", trim=0.1, gradient=0.5, gauge=0.05),
    optimizer=OptimizerSettings(
        learning_rate=1e-3,
        head_factor=1.0,
        b2=0.99,
        weight_decay=0.05,
        schedule="constant",
        warmup=200,
        cooldown=1500,
        average=0.999,
    ),
    run=RunSettings(
        steps=10_000, save_every=250, evaluate_every=500, evaluate_images=60
    ),
)
_SMOKE = Recipe(
    name="smoke",
    model=ModelSettings("smoke", dtype="float32"),
    data=DataSettings(size=56, batch=8, threads=1, prefetch=2),
    loss=LossSettings("affine_invariant", gradient=0.5, gauge=0.05),
    optimizer=OptimizerSettings(
        learning_rate=2e-3,
        head_factor=1.0,
        b2=0.99,
        schedule="cosine",
        warmup=20,
        average=0.98,
    ),
    run=RunSettings(
        steps=300, save_every=100, evaluate_every=100, evaluate_images=16, log_every=20
    ),
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        _V1_TEACHER,
        _V1_STUDENT,
        _V2_TEACHER,
        _V2_STUDENT,
        _METRIC_INDOOR,
        _METRIC_OUTDOOR,
        _FINETUNE,
        _FINETUNE_RELATIVE,
        _PROMPT_FINETUNE,
        _TINY,
        _SMOKE,
    )
}

_V1 = "Depth Anything V1, arXiv:2401.10891"
_V2 = "Depth Anything V2, arXiv:2406.09414"
_SCRIPT = "Depth-Anything-V2 metric_depth/train.py"
_SHELL = "Depth-Anything-V2 metric_depth/dist_train.sh"
_SHARED_V1 = {
    "model.architecture": f"{_V1}, section 4.1",
    "model.init": f"{_V1}, section 4.1; V1 issue 37 for the encoder's full tuning",
    "model.init_parts": f"{_V1}, section 4.1",
    "data.size": f"{_V1}, section 4.1",
    "data.augmentation.flip_share": f"{_V1}, section 4.1: mirrored, no share given",
    "loss.main": f"{_V1}, section 3.1",
    "loss.gradient": "V1 issue 198: used; the weight is MiDaS', arXiv:1907.01341",
    "optimizer.learning_rate": f"{_V1}, section 4.1",
    "optimizer.head_factor": f"{_V1}, section 4.1",
    "optimizer.schedule": f"{_V1}, section 4.1",
}
_SHARED_V2 = {
    "model.architecture": f"{_V2}, section 7.1",
    "model.init": f"{_V2}, section 7.1",
    "model.init_parts": f"{_V2}, section 7.1",
    "data.size": f"{_V2}, section 7.1",
    "data.batch": f"{_V2}, section 7.1",
    "loss.main": f"{_V2}, section 7.1",
    "loss.gradient": f"{_V2}, section 7.1: 1 : 2",
    "optimizer.learning_rate": f"{_V2}, section 7.1",
    "optimizer.head_factor": f"{_V2}, section 7.1",
    "run.steps": f"{_V2}, section 7.1",
}
_SHARED_METRIC = {
    "model.architecture": _SHELL,
    "model.kind": _SCRIPT,
    "model.max_depth": _SHELL,
    "model.init": f"{_SCRIPT}: the relative model of the same size",
    "model.init_parts": f"{_SCRIPT}: keys containing `pretrained`",
    "model.dtype": _SCRIPT,
    "data.size": _SHELL,
    "data.batch": f"{_SHELL}: 8 devices of 4",
    "data.min_depth": _SCRIPT,
    "data.max_depth": _SHELL,
    "data.augmentation.flip_share": f"{_SCRIPT}: .5, there for a whole batch at once",
    "loss.main": _SCRIPT,
    "loss.gradient": f"{_SCRIPT}: no such term",
    "loss.variance_focus": "Depth-Anything-V2 metric_depth/util/loss.py",
    "optimizer.learning_rate": _SHELL,
    "optimizer.head_factor": _SCRIPT,
    "optimizer.b1": _SCRIPT,
    "optimizer.b2": _SCRIPT,
    "optimizer.eps": f"{_SCRIPT}: torch's default",
    "optimizer.weight_decay": _SCRIPT,
    "optimizer.decay_all": f"{_SCRIPT}: one group for everything",
    "optimizer.clip_norm": f"{_SCRIPT}: no clipping",
    "optimizer.schedule": f"{_SCRIPT}: power .9, set after the step",
    "optimizer.warmup": f"{_SCRIPT}: none",
    "optimizer.average": f"{_SCRIPT}: none",
    "run.steps": f"{_SHELL}: 120 epochs",
}
SOURCES: dict[str, dict[str, str]] = {
    "v1-teacher": _SHARED_V1 | {"run.steps": f"{_V1}, section 4.1: 20 epochs"},
    "v1-student": _SHARED_V1
    | {
        "run.steps": f"{_V1}, section 4.1: one pass over the unlabelled pictures",
        "data.pseudo_share": f"{_V1}, section 4.1: labelled to unlabelled 1 : 2",
        "loss.labelled": f"{_V1}, section 3.3: average of the three terms",
        "loss.pseudo": f"{_V1}, section 3.3: average of the three terms",
        "loss.feature": f"{_V1}, section 3.3: average of the three terms",
        "loss.feature_reference": f"{_V1}, section 3.3; V1 issue 224: of equal size",
        "loss.feature_margin": f"{_V1}, section 4.1",
        "loss.cutmix": f"{_V1}, section 3.2",
    },
    "v2-teacher": _SHARED_V2,
    "v2-student": _SHARED_V2
    | {
        "data.pseudo_share": f"{_V2}, section 5.2: pseudo-labels only",
        "loss.pseudo_trim": f"{_V2}, section 5.2",
        "loss.feature": f"{_V2}, section 7.1: used; its weight is our choice",
        "loss.feature_reference": f"{_V2}, section 7.1",
        "loss.feature_margin": f"{_V1}, section 4.1",
    },
    "metric-indoor": _SHARED_METRIC,
    "metric-outdoor": _SHARED_METRIC,
}


def sources(recipe: Recipe) -> dict[str, str]:
    """Return where each setting comes from: `CHANGED` where the recipe differs."""
    known, values = SOURCES.get(recipe.name, {}), leaves(recipe)
    named = leaves(RECIPES[recipe.name]) if recipe.name in RECIPES else values
    return {
        key: known.get(key, OURS) if value == named[key] else CHANGED
        for key, value in values.items()
    }


def fitted(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Return a recipe whose warm-up fits its run, and what was changed, as sentences.

    The warm-up of a named recipe shrinks to a tenth of a run made shorter, and so does
    any that is not shorter than its run, which would end below the peak and never fall.
    """
    steps, warmup = recipe.run.steps, recipe.optimizer.warmup
    named = RECIPES.get(recipe.name)
    own = (
        named is not None
        and warmup == named.optimizer.warmup
        and steps < named.run.steps
        and warmup > steps // 10
    )
    if not own and warmup < steps:
        return recipe, []
    optimizer = dataclasses.replace(recipe.optimizer, warmup=steps // 10)
    note = (
        f"optimizer.warmup is {steps // 10}, a tenth of the run's {steps} steps, and "
        f"not {warmup}, which is made for longer ones"
    )
    return dataclasses.replace(recipe, optimizer=optimizer), [note]
