"""New weights from data: losses, augmentation, optimiser, training step.

from jax_depth import training

recipe = training.override(training.RECIPES["finetune"], ["run.steps=100"])
training.train(recipe, training.TrainingData(...), "runs/mine")
"""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.training.loop import TrainingData as TrainingData
    from jax_depth.training.loop import train as train
    from jax_depth.training.overrides import override as override
    from jax_depth.training.recipe import Recipe as Recipe
    from jax_depth.training.recipes import RECIPES as RECIPES
    from jax_depth.training.shapes import Shapes as Shapes

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "train": "loop",
        "TrainingData": "loop",
        "RECIPES": "recipes",
        "Recipe": "recipe",
        "override": "overrides",
        "Shapes": "shapes",
    },
)
