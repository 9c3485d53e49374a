"""The tensor half of every method: its objectives, by the names that stages use."""

from torch_impl.methods.ape import Ape
from torch_impl.methods.augkd import AnchorLearning, Distilled, MixupLearning
from torch_impl.methods.augkd_datafree import DataFree
from torch_impl.methods.ddm import RegionTeacher, SampleTeacher, Student
from torch_impl.methods.diga import Distillation
from torch_impl.methods.diga_selftraining import ConsensusTraining
from torch_impl.methods.diga_translator import TranslatorTraining
from torch_impl.methods.entropy import Ent, Mme
from torch_impl.methods.iast import AdversarialWarmUp, SelfTraining
from torch_impl.methods.s3d import S3D
from torch_impl.methods.supervised import Supervised, SupervisedClasses

OBJECTIVES = {
    "supervised": Supervised,
    "supervised_classes": SupervisedClasses,
    "ddm_region": RegionTeacher,
    "ddm_sample": SampleTeacher,
    "ddm_student": Student,
    "diga_translator": TranslatorTraining,
    "diga_warmup": Distillation,
    "diga_selftraining": ConsensusTraining,
    "ent": Ent,
    "mme": Mme,
    "ape": Ape,
    "s3d": S3D,
    "iast_warmup": AdversarialWarmUp,
    "iast_self_training": SelfTraining,
    "augkd_datafree": DataFree,
    "augkd_anchor": AnchorLearning,
    "augkd_mixup": MixupLearning,
    "augkd_distilled": Distilled,
}
