"""Every tolerance of the parity ladder of the README, in one table. Never widened to get green."""

LOGITS = 1e-5          # P1: max|a-b| / max|b|, eval mode
LOGITS_ONNX = 1e-4     # P1: against onnxruntime
LOSS = 1e-5            # P2a: value and gradient with respect to the inputs
LOSS_LAST_AXIS = 2e-5  # P2a: losses through a softmax over the last axis (MindSpore's exp)
GRADIENT = 5e-5        # P2b, P3: smooth activations, average pooling
FLOOR_FACTOR = 5.0     # P2b, P3: ||a-b|| <= FLOOR_FACTOR * ||torch32 - torch64|| + FLOOR_SLACK * ||b||
FLOOR_SLACK = 1e-5
OPTIMIZER = 1e-6       # ten optimizer steps on stored gradients spanning 1e-8 to 1
CURVE = 1e-3           # P4: loss curves of the first 20 steps
PIXELS = 1e-3          # P4: share of pseudo-labels that may differ from the same weights
MIOU_POINTS = 1.0      # P4: final mIoU or accuracy, in points, or the spread over three seeds
