"""The same as the console command `regnet-evaluate`."""

from regnet.__main__ import evaluate

if __name__ == "__main__":
    evaluate()
