"""`python -m kokoro_lab.kernels` compiles the operators."""

from kokoro_lab.kernels.build import main

raise SystemExit(main())
