"""Do similar frames have similar gradients? The bound, and the gradients of a network's frames."""

from lab.gradients.bound import (
    corrected_bound,
    exact_gradient,
    gradient_difference,
    jensen_gap,
    loss_gap,
    paper_bound,
    sign_disagreements,
    single_gradient,
)
from lab.gradients.clusters import (
    ClusterErrors,
    GivenClusters,
    best_clusters,
    cluster_errors,
    cluster_gradients,
    cluster_spread,
    random_clusters,
    sum_by_cluster,
)
from lab.gradients.frames import (
    Relation,
    activation_distances,
    frame_gradients,
    frame_losses,
    full_residual,
    gradient_distances,
    of_stage,
    pairs,
    relation,
)
