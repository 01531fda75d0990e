"""The same as the console command `regnet-train`."""

from regnet.commands.train import main

if __name__ == "__main__":
    main()
