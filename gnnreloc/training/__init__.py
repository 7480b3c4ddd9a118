"""Losses, optimisers, the training loop and its checkpoints."""

from gnnreloc.training.checkpoint import load_checkpoint as load_checkpoint
from gnnreloc.training.checkpoint import save_checkpoint as save_checkpoint
from gnnreloc.training.losses import compute_losses as compute_losses
from gnnreloc.training.losses import ranking_loss as ranking_loss
from gnnreloc.training.losses import regression_loss as regression_loss
from gnnreloc.training.losses import triplet_loss as triplet_loss
from gnnreloc.training.optimizers import OptimizerOptions as OptimizerOptions
from gnnreloc.training.optimizers import RoutedOptimizers as RoutedOptimizers
from gnnreloc.training.seeding import seed_everything as seed_everything
from gnnreloc.training.trainer import Trainer as Trainer
