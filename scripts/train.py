"""The same as the console command `regnet-train`."""

from regnet.train import main

if __name__ == "__main__":
    main()
