"""The tensor half of every method: its objectives, by the names that stages use."""

from torch_impl.methods.ddm import RegionTeacher, SampleTeacher, Student
from torch_impl.methods.iast import AdversarialWarmUp, SelfTraining
from torch_impl.methods.supervised import Supervised, SupervisedClasses

OBJECTIVES = {
    "supervised": Supervised,
    "supervised_classes": SupervisedClasses,
    "ddm_region": RegionTeacher,
    "ddm_sample": SampleTeacher,
    "ddm_student": Student,
    "iast_warmup": AdversarialWarmUp,
    "iast_self_training": SelfTraining,
}
