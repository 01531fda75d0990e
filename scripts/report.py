"""The same as the console command `regnet-report`."""

from regnet.report.command import main

if __name__ == "__main__":
    main()
