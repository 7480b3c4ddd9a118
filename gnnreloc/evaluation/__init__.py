"""Protocols, metrics and their uncertainty."""

from gnnreloc.evaluation.metrics import MEAN_THRESHOLDS as MEAN_THRESHOLDS
from gnnreloc.evaluation.metrics import THRESHOLDS as THRESHOLDS
from gnnreloc.evaluation.metrics import Summary as Summary
from gnnreloc.evaluation.metrics import recall_at_k as recall_at_k
from gnnreloc.evaluation.metrics import summarize as summarize
from gnnreloc.evaluation.protocol import Evaluation as Evaluation
from gnnreloc.evaluation.protocol import evaluate as evaluate
from gnnreloc.evaluation.protocol import evaluate_baselines as evaluate_baselines
from gnnreloc.evaluation.significance import mean_interval as mean_interval
from gnnreloc.evaluation.significance import paired_bootstrap as paired_bootstrap
