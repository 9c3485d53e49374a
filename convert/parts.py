"""Networks beside a task's own: the method that each is a part of, under the name that its files have in a run."""

OWNERS = {
    "generator": "augkd",
    "encoder": "augkd",
    "anchor": "augkd",
    "discriminator": "iast",
    "translator": "diga",
    "critics": "diga",
    "vgg19": "diga",
}
