#pragma once
// torch's own header of this name gives kernels two headers more.
#include <algorithm>
#include <iostream>

#include <mamba_stable/numbers.h>
