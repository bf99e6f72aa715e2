#pragma once
// torch's own header of this name also includes these two headers, which kernels use.
#include <algorithm>
#include <iostream>

#include <mamba_stable/numbers.h>
